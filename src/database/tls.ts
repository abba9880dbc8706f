import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect } from 'node:tls'

/** How a connection to Postgres is encrypted: not at all without `ssl`; if the server can do it, when `optional`. */
export type Tls = { url: string; ssl?: ConnectionOptions; optional?: boolean }

const modes: Record<string, string> = {
  ...{ true: 'verify-full', 1: 'verify-full', 'verify-full': 'verify-full', 'verify-ca': 'verify-ca' },
  ...{ require: 'require', 'no-verify': 'require', prefer: 'prefer' },
}

/**
 * What a database URL says of TLS, in `sslmode`, `sslrootcert`, `sslcert` and `sslkey`, of which the last three are files, as libpq has
 * it (Postgres manual, "SSL Support"); except that without `sslmode`, and without a certificate, there is none. With a root certificate the
 * server's has to come from there, and for `sslmode=verify-full` has to be for its host. The URL is what is left. Throws
 * when a file can't be read.
 */
export function tlsOf(url: string): Tls {
  const left = new URL(url)
  const take = (name: string) => {
    const value = left.searchParams.get(name)
    left.searchParams.delete(name)
    return value
  }
  const file = (name: string) => {
    const path = take(name)
    return path === null ? undefined : readFileSync(path)
  }
  const [ca, cert, key] = [file('sslrootcert'), file('sslcert'), file('sslkey')]
  // Of the drivers; what pg makes of sslnegotiation would take the place of what is said here.
  const short = modes[take('ssl') ?? '']
  take('sslnegotiation')
  const mode = take('sslmode') ?? short ?? (ca || cert || key ? 'require' : 'disable')
  if (mode === 'disable' || mode === 'allow') return { url: left.href }
  const host = left.hostname.replace(/^\[|\]$/g, '')
  const ssl = {
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    rejectUnauthorized: ca !== undefined || mode === 'verify-ca' || mode === 'verify-full',
    ...(mode === 'verify-full' ? { host } : { checkServerIdentity: () => undefined }),
  }
  return { url: left.href, ssl, ...(mode === 'prefer' && { optional: true }) }
}

// Postgres manual, "Message Formats": SSLRequest, answered with a byte: S, or N.
const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])

/**
 * Has a connection encrypted as Postgres has it. Not the driver's own way: that takes all listeners from the socket, and with them
 * all that would tell when it is lost.
 */
export async function encrypted(socket: Socket, { ssl, optional }: Tls): Promise<Socket> {
  if (!ssl) return socket
  socket.write(sslRequest)
  const [answer] = (await once(socket, 'data')) as [Buffer]
  socket.pause()
  // Nothing may come behind the byte: it would be taken for what came encrypted (CVE-2021-23222).
  if (answer.toString('latin1') !== 'S') {
    if (!optional) throw new Error('this Postgres has no TLS')
    return socket.resume()
  }
  // Of an address no name is sent, and then Node would take certificates for "localhost", but for `host`.
  const secure = connect({ ...ssl, socket, ...(ssl.host && !isIP(ssl.host) && { servername: ssl.host }) })
  await once(secure, 'secureConnect')
  return secure
}
