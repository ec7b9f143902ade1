import { Accounts } from './accounts.ts'
import { accepted, answered, type Head, Heads } from './heads.ts'
import type { Accepted, Answered } from './records.ts'

/** What the rows of the journal say, as it is looked up: conversations, and what keys hold and have used. */
export class Memory {
  readonly heads = new Heads()
  readonly accounts = new Accounts()

  accepted(head: Head, record: Accepted): void {
    accepted(head, record)
    this.heads.remember(head, record.id)
    this.accounts.accepted(record)
  }

  answered(head: Head, open: Accepted, record: Answered): void {
    answered(head, open, record)
    this.accounts.accepted(open, -1)
    this.accounts.charged(record)
  }

  /** The tables have its answered turns, and its open one too where they have it. */
  settled(head: Head, withOpen: boolean): void {
    for (const { accepted, answered } of head.tail) {
      this.heads.forgetTurn(accepted.id)
      this.accounts.charged(answered, -1)
    }
    head.tail = []
    this.accounts.forget()
    if (head.open === undefined || !withOpen) return
    this.accounts.accepted(head.open, -1)
    this.heads.forget(head)
  }

  clear(): void {
    this.heads.clear()
    this.accounts.clear()
  }
}
