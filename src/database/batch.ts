type Call<Asked, Answer> = PromiseWithResolvers<Answer> & { asked: Asked }

/**
 * Turns a read of many things at once, which answers in the order it is asked, into one of a single thing. A call is sent
 * at once while fewer than `atOnce` queries are under way, so one that comes by itself waits for nothing; those that come
 * while they are, share the next one. Calls with the same `key` are one, and a query takes as many as weigh `most` together,
 * but at least one.
 *
 * Nothing is kept: the query that answers a call always begins after the call, so whoever has seen the answer to a write
 * reads what was written. A query that fails, fails its own callers only.
 */
export function batched<Asked, Answer>(
  read: (asked: Asked[]) => Promise<Answer[]>,
  {
    key = String,
    weight = () => 1,
    most = 1_000,
    atOnce = 2,
  }: {
    key?: (asked: Asked) => string
    weight?: (asked: Asked) => number
    most?: number
    atOnce?: number
  } = {},
): (asked: Asked) => Promise<Answer> {
  const waiting = new Map<string, Call<Asked, Answer>>()
  let underWay = 0

  function take(): Call<Asked, Answer>[] {
    const calls: Call<Asked, Answer>[] = []
    let sum = 0
    for (const [name, call] of waiting) {
      sum += weight(call.asked)
      if (calls.length > 0 && sum > most) break
      waiting.delete(name)
      calls.push(call)
    }
    return calls
  }

  async function send() {
    underWay++
    while (waiting.size > 0) {
      const calls = take()
      try {
        const answers = await read(calls.map(({ asked }) => asked))
        for (const [i, call] of calls.entries()) call.resolve(answers[i] as Answer)
      } catch (error) {
        for (const call of calls) call.reject(error)
      }
    }
    underWay--
  }

  return (asked) => {
    const name = key(asked)
    const call = waiting.get(name) ?? { asked, ...Promise.withResolvers<Answer>() }
    waiting.set(name, call)
    if (underWay < atOnce) send()
    return call.promise
  }
}
