import type { Exchange } from './history.ts'
import { startLoad } from './load.ts'

/** Asks for this address 50 times a second. `stop` resolves to what became of all that. */
export function startProbes(url: string): { stop: () => Promise<Exchange[]> } {
  const { origin, pathname } = new URL(url)
  const starting = startLoad({ url: origin, perSecond: 0, fill: false })
  const timer = setInterval(async () => (await starting).ask({ kind: 'other', path: pathname }), 20)
  return {
    async stop() {
      clearInterval(timer)
      return await (await starting).stop()
    },
  }
}
