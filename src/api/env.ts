import type { HttpBindings } from '@hono/node-server'
import type { Logger } from 'pino'

/** What a handler finds in its context: Node's request and response (absent in `app.request()`), an id and a log. */
export type Env = {
  Bindings: Partial<HttpBindings>
  Variables: { requestId: string; log: Logger }
}
