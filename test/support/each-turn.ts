/** Looks once in every turn of the event loop that others get while work goes on, and when it is done. */
export async function eachTurn(work: () => Promise<unknown>, look: () => void): Promise<void> {
  let working = true
  const next = () => {
    if (!working) return
    look()
    setImmediate(next)
  }
  next()
  await work()
  working = false
  look()
}

/** How much is done at the longest before others get a turn, by what has been done so far. */
export async function longestStall(work: () => Promise<unknown>, done: () => number): Promise<number> {
  let [longest, last] = [0, done()]
  await eachTurn(work, () => {
    const now = done()
    longest = Math.max(longest, now - last)
    last = now
  })
  return longest
}
