import { clientName } from '../client-name.ts'
import type { ConversationKey } from '../conversation.ts'
import { DaehwaError } from '../errors.ts'
import type { KeyLimits } from './limits.ts'

/** On whose behalf a request is made. It comes from the key alone: a name in a request is a label, and no authority. */
export interface Caller {
  readonly tenant: string
  /** The only client that the key may touch; undefined: all of its tenant. */
  readonly client: string | undefined
  /** The id of the key; undefined for the operator. */
  readonly key: string | undefined
  /** What that key may use. */
  readonly limits: KeyLimits
  /** Whether keys and everything else that is nobody's alone may be seen and changed. */
  readonly isOperator: boolean
}

/** Whose a turn has to be, to be seen. */
export type Owner = Pick<Caller, 'tenant' | 'client'>

/** The operator's own tenant, and everybody's where there are no keys. */
const defaultTenant = 'default'

export const operator: Caller = {
  tenant: defaultTenant,
  client: undefined,
  key: undefined,
  limits: {},
  isOperator: true,
}

/**
 * The client that a caller names, in the form in which it is kept.
 *
 * @throws DaehwaError `invalid_request`, and `forbidden` for a key that is another client's
 */
export function clientOf({ tenant, client }: Owner, raw: string): ConversationKey {
  const name = clientName(raw)
  if (client === undefined || client === name) return { tenant, client: name }
  const what = 'It is for one client alone: send that client_name, or use a key of the whole tenant'
  throw DaehwaError.of('forbidden', { what })
}
