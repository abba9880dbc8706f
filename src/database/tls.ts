import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'

/**
 * What a database URL says of TLS that the driver doesn't know, or takes too lightly: `sslrootcert`, `sslcert` and `sslkey` are files, as libpq has them
 * (Postgres manual, "SSL Support"). With a root certificate the server's has to come from there, and for `sslmode=verify-full`
 * has to be for its host. The URL is what is left. Throws when a file can't be read.
 */
export function tlsOf(url: string): { url: string; ssl?: ConnectionOptions } {
  const left = new URL(url)
  const file = (name: string) => {
    const path = left.searchParams.get(name)
    left.searchParams.delete(name)
    return path === null ? undefined : readFileSync(path)
  }
  const [ca, cert, key] = [file('sslrootcert'), file('sslcert'), file('sslkey')]
  const mode = left.searchParams.get('sslmode')
  if (!ca && !cert && !key && mode !== 'verify-full') return { url }
  left.searchParams.delete('sslmode')
  return {
    url: left.href,
    ssl: {
      ...(ca && { ca }),
      ...(cert && { cert }),
      ...(key && { key }),
      rejectUnauthorized: ca !== undefined || mode === 'verify-ca' || mode === 'verify-full',
      // Of an address the driver says nothing, and then Node takes certificates for "localhost".
      ...(mode === 'verify-full'
        ? { host: left.hostname.replace(/^\[|\]$/g, '') }
        : { checkServerIdentity: () => undefined }),
    },
  }
}
