import { once } from 'node:events'
import { get } from 'node:http'
import { connect } from 'node:net'
import type { Readable } from 'node:stream'

/** A list that is being read. */
export type Stream = {
  /** How much of it has come. */
  bytes: number
  /** Resolves when it has ended, in whatever way. `status` is missing if not even that has come. */
  ended: Promise<Ended>
}

/** `clean`: as far as a client of HTTP can tell, this is all of it. */
export type Ended = { status?: number; text: string; clean: boolean }

/** Asks for a list, and tells `onData` of all that comes. */
export function read(url: string, onData: () => void = () => {}): Stream {
  return follow(async (came) => {
    // What breaks off behind the head is an error of the answer, and one of the request once more.
    const asking = get(url, { agent: false }).on('error', () => {})
    const response = await once(asking, 'response').then(
      ([response]) => response,
      () => undefined,
    )
    if (!response) return { text: '', clean: false }
    const { text, ended } = await collect(response, came)
    return { status: response.statusCode, text, clean: ended && response.complete }
  }, onData)
}

/** The same with HTTP/1.0, where the end of the connection is all that says that the list has ended. */
export function readOld(url: string, onData: () => void = () => {}): Stream {
  return follow(async (came) => {
    const { hostname, port, pathname, search } = new URL(url)
    const socket = connect(Number(port), hostname)
    socket.write(`GET ${pathname}${search} HTTP/1.0\r\n\r\n`)
    const { text, ended } = await collect(socket, came)
    const [head = '', ...body] = text.split('\r\n\r\n')
    const status = /^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]
    return {
      ...(status && { status: Number(status) }),
      text: body.join('\r\n\r\n'),
      clean: ended && status !== undefined,
    }
  }, onData)
}

function follow(answer: (came: (bytes: number) => void) => Promise<Ended>, onData: () => void): Stream {
  const stream = { bytes: 0 }
  const came = (bytes: number) => {
    stream.bytes += bytes
    onData()
  }
  return Object.assign(stream, { ended: answer(came) })
}

async function collect(from: Readable, came: (bytes: number) => void): Promise<{ text: string; ended: boolean }> {
  let text = ''
  try {
    for await (const chunk of from.setEncoding('latin1')) {
      text += chunk
      came(chunk.length)
    }
    return { text, ended: true }
  } catch {
    return { text, ended: false }
  }
}
