import { timed } from './clock.ts'
import type { Limits } from './connect.ts'
import { Unavailable } from './unavailable.ts'

type Call<Asked, Answer> = PromiseWithResolvers<Answer> & { asked: Asked; timer: NodeJS.Timeout }

/**
 * Turns a read of many things at once, which answers in the order it is asked, into one of a single thing. A call is sent
 * at once while fewer than `atOnce` queries are under way, so one that comes by itself waits for nothing; those that come
 * while they are, share the next one. Calls with the same `key` are one, and a query takes as many as weigh `most` together,
 * but at least one.
 *
 * Nothing is kept: the query that answers a call always begins after the call, so whoever has seen the answer to a write
 * reads what was written. A query that fails, fails its own callers only.
 *
 * As in front of the pool itself, at most `queue` calls wait, and each is answered within `timeoutMs`: if need be with Unavailable.
 */
export function batched<Asked, Answer>(
  read: (asked: Asked[]) => Promise<Answer[]>,
  { queue, timeoutMs }: Limits,
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
      } finally {
        for (const { timer } of calls) clearTimeout(timer)
      }
    }
    underWay--
  }

  function add(name: string, asked: Asked): Call<Asked, Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const expire = () => {
      if (waiting.get(name) === call) waiting.delete(name)
      reject(new Unavailable('late'))
    }
    const call = { asked, promise, resolve, reject, timer: setTimeout(expire, timeoutMs) }
    waiting.set(name, call)
    return call
  }

  return (asked) => {
    const name = key(asked)
    const same = waiting.get(name)
    if (!same && underWay >= atOnce && waiting.size >= queue) return Promise.reject(new Unavailable('crowded'))
    const { promise } = same ?? add(name, asked)
    if (underWay < atOnce) send()
    return timed(promise)
  }
}
