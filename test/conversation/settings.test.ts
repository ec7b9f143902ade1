import { expect, it } from 'vitest'
import { generationOf, mergeSettings, patchSettings } from '../../src/conversation/settings.ts'

it('takes back what is patched with null, and leaves what is left out', () => {
  const settings = { model: 'm', temperature: 0.3, metadata: { a: '1', b: '2' } }
  expect(patchSettings(settings, { temperature: null, top_p: 0.5 })).toEqual({
    model: 'm',
    top_p: 0.5,
    metadata: { a: '1', b: '2' },
  })
  expect(patchSettings(settings, { metadata: { b: '3', c: '4' } }).metadata).toEqual({
    a: '1',
    b: '3',
    c: '4',
  })
  expect(patchSettings(settings, { metadata: null })).not.toHaveProperty('metadata')
})

it('lets the stronger setting win, and an undefined one not', () => {
  const merged = mergeSettings({ temperature: 1, top_p: 1 }, undefined, { temperature: 0, model: undefined })
  expect(merged).toEqual({ temperature: 0, top_p: 1 })
})

it('sends upstream what is for the model, and nothing else', () => {
  expect(
    generationOf({ model: 'm', instructions: 'x', metadata: { a: 'b' }, compact_at: 0.5 }),
  ).toBeUndefined()
  expect(generationOf({ model: 'm', temperature: 0, stop: ['.'] })).toEqual({ temperature: 0, stop: ['.'] })
})
