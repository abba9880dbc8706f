import { setTimeout as sleep } from 'node:timers/promises'
import { Unavailable } from './unavailable.ts'

const pauseMs = 100

/** Closed: statements may be sent. Open: they are refused at once, until a probe of the database succeeds. */
export type Circuit = {
  /** Refuses statements from now on, and probes the database until that succeeds. */
  open: (cause: unknown) => void
  /** What statements are to be refused with, while it is open. */
  refusal: () => Unavailable | undefined
  /** Is told of each refusal that begins, so that nobody waits for what can't come. */
  onOpen: (listener: (refusal: Unavailable) => void) => void
  /** Resolves once it is closed. */
  closed: () => Promise<void>
  end: () => void
}

/**
 * The pools of a server share one: when the database is gone or hangs, each request would else wait for its own deadline to learn
 * the same. `onChange` is told why it opened, again whenever a probe fails for another reason, and `undefined` when it closes.
 */
export function createCircuit({
  probe,
  onChange = () => {},
}: {
  probe: () => Promise<unknown>
  onChange?: (reason: string | undefined) => void
}): Circuit {
  const listeners = new Set<(refusal: Unavailable) => void>()
  let refusal: Unavailable | undefined
  let closed = Promise.resolve()
  let ended = false

  function open(cause: unknown) {
    if (refusal || ended) return
    refusal = new Unavailable('refused', { cause })
    for (const tell of listeners) tell(refusal)
    closed = probeUntilClosed(describe(cause))
  }

  async function probeUntilClosed(reason: string) {
    onChange(reason)
    for (let last = reason; !ended; await sleep(pauseMs, undefined, { ref: false })) {
      try {
        await probe()
        break
      } catch (error) {
        const now = describe(error)
        if (now !== last) onChange(now)
        last = now
      }
    }
    refusal = undefined
    if (!ended) onChange(undefined)
  }

  return {
    open,
    refusal: () => refusal,
    onOpen: (listener) => listeners.add(listener),
    closed: () => closed,
    end: () => {
      ended = true
    },
  }
}

/** An error in a line. A host name with several addresses gives an AggregateError, whose own message is empty. */
export function describe(error: unknown): string {
  const { message, cause, errors } = error as { message?: string; cause?: unknown; errors?: unknown[] }
  if (error instanceof Unavailable && cause) return describe(cause)
  return errors?.map(describe).join(', ') || message || String((error as { code?: unknown }).code ?? error)
}
