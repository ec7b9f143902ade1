import type { Catalog } from '../../src/conversation/model-catalog.ts'

/** The catalog of a server whose one upstream is set in its environment. */
export const oneUpstream: Catalog = {
  upstreams: [{ name: 'default', prefix: '', models: new Map() }],
  aliases: new Map(),
  otherWindow: 8_192,
}
