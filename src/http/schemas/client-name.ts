import { Type } from 'typebox'

/** In full it is checked by the domain: lengths count characters, and not all of them are taken. */
export const ClientName = Type.String({ description: '클라이언트 이름' })

export const ClientQuery = Type.Object({ client_name: ClientName }, { examples: [{ client_name: 'minsu' }] })
