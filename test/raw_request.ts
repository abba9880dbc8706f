import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** Opens a connection to a server; what goes wrong on it later is for the test to see, and not an error. */
export async function openSocket(url: string, { allowHalfOpen = false } = {}): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen })
  await once(socket, 'connect')
  return socket.on('error', () => {})
}

/**
 * Sends these bytes (a string has one in each character) as they are, and returns all that is answered until the server closes the
 * connection, in the same form. `status` is 0 if there is no answer.
 */
export async function sendBytes(url: string, bytes: string | Buffer): Promise<{ status: number; answer: string }> {
  const socket = await openSocket(url)
  let answer = ''
  socket.setEncoding('latin1').on('data', (part) => {
    answer += part
  })
  socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  await once(socket, 'close')
  return { status: Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1] ?? 0), answer }
}
