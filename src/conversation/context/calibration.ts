import type { Limits } from './context-window.ts'

/** So many times our count may an upstream's be; more is no count of the same thing. */
const most = 4
/** One observation counts for so much of what is believed: one odd number moves little. */
const weight = 4
/** How many models are remembered. */
const remembered = 1_000

/**
 * How many tokens of a model one of ours is, from what its upstream reports: models have encodings of their own. Never
 * less than one, so that a context is no larger than our own count allows.
 */
export class Calibration {
  readonly #ratios = new Map<string, number>()

  /** Takes in that a context of `counted` tokens was `reported` ones. */
  learn(model: string, counted: number, reported: number): void {
    const ratio = Math.min(most, Math.max(1, reported / counted))
    const known = this.#ratios.get(model)
    this.#ratios.delete(model)
    this.#ratios.set(model, ((known ?? 1) * (weight - 1) + ratio) / weight)
    for (const oldest of this.#ratios.keys()) {
      if (this.#ratios.size <= remembered) break
      this.#ratios.delete(oldest)
    }
  }

  /** Takes in that a context of `counted` tokens was too long for a window; a short one says nothing of its size. */
  refused(model: string, counted: number, window: number): void {
    if (counted * most >= window) this.learn(model, counted, window)
  }

  /** The limits of a model in our tokens: for choosing what is sent, and never a reason to refuse a message. */
  limits(model: string, { window, answer }: Limits): Limits {
    const ratio = this.#ratios.get(model) ?? 1
    return { window: Math.floor(window / ratio), answer: Math.floor(answer / ratio) }
  }
}
