import { DaehwaError } from '../conversation/errors.ts'
import type { ModelInfo } from '../conversation/ports.ts'
import { parseChatObject, record, string } from './chat-completion.ts'

/**
 * Reads the list of OpenAI's `GET /models`. What an upstream leaves out is filled in, and a field of another
 * type than OpenAI's is left out, so that every list has the same shape.
 *
 * @throws DaehwaError `upstream_bad_response` when there is no list in it
 */
export function readModelList(json: string): ModelInfo[] {
  const data = record(parseChatObject(json))['data']
  if (!Array.isArray(data))
    throw DaehwaError.of('upstream_bad_response', { detail: 'it is not a list of models' })
  return data.flatMap((entry: unknown) => {
    const model = record(entry)
    const id = string(model['id'])
    return id === undefined || id === '' ? [] : [readModel(id, model)]
  })
}

function readModel(id: string, model: Readonly<Record<string, unknown>>): ModelInfo {
  const created = Number(model['created'])
  const permission: unknown[] = Array.isArray(model['permission']) ? model['permission'] : []
  const parent = string(model['parent'])
  return {
    id,
    object: string(model['object']) ?? 'model',
    created: Number.isFinite(created) ? Math.trunc(created) : 0,
    owned_by: string(model['owned_by']) ?? '',
    permission: permission.map(record),
    root: string(model['root']) ?? id,
    ...(parent === undefined ? {} : { parent }),
  }
}
