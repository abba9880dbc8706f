// Reads that share a round trip. Nothing is kept: the query that answers a call always begins after the call, so whoever has
// seen the answer to a write reads what was written. A query that fails, fails its own callers only, and a call that finds
// no other under way is sent at once.

/** Turns a read of many rows into one of a single row: calls that come while a query is under way are the next query. */
export function batched<Row extends { id: number }>(
  read: (ids: number[]) => Promise<Row[]>,
): (id: number) => Promise<Row | undefined> {
  let waiting = new Map<number, PromiseWithResolvers<Row | undefined>>()
  let underWay = false

  async function send() {
    underWay = true
    while (waiting.size > 0) {
      const calls = waiting
      waiting = new Map()
      try {
        const rows = new Map((await read([...calls.keys()])).map((row) => [row.id, row]))
        for (const [id, call] of calls) call.resolve(rows.get(id))
      } catch (error) {
        for (const call of calls.values()) call.reject(error)
      }
    }
    underWay = false
  }

  return (id) => {
    const call = waiting.get(id) ?? Promise.withResolvers<Row | undefined>()
    waiting.set(id, call)
    if (!underWay) send()
    return call.promise
  }
}

/** Calls with the same arguments (as JSON) that come while such a query is under way share the next one. */
export function shared<Arguments extends unknown[], Result>(
  read: (...args: Arguments) => Promise<Result>,
): (...args: Arguments) => Promise<Result> {
  const underWay = new Map<string, PromiseWithResolvers<Result> | undefined>()

  async function send(key: string, args: Arguments, call: PromiseWithResolvers<Result>) {
    for (let next: PromiseWithResolvers<Result> | undefined = call; next; next = underWay.get(key)) {
      underWay.set(key, undefined)
      await read(...args).then(next.resolve, next.reject)
    }
    underWay.delete(key)
  }

  return (...args) => {
    const key = JSON.stringify(args)
    const call = underWay.get(key) ?? Promise.withResolvers<Result>()
    if (underWay.has(key)) underWay.set(key, call)
    else send(key, args, call)
    return call.promise
  }
}
