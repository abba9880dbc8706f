import type { Context } from 'hono'
import { Problem } from '../errors.ts'

/**
 * Refuses what a page of another origin would have a browser change here. Without accounts, whoever can get at the server may write,
 * and so could any page on the internet that they look at: browsers send its forms anywhere.
 * The rules are those of Go's net/http.CrossOriginProtection: browsers say `Sec-Fetch-Site` where they trust the address (HTTPS, or
 * localhost), and `Origin` everywhere (`null` if they don't tell whose it is); programs say neither.
 */
export function refuseOtherOrigins(c: Context): void {
  const site = c.req.header('sec-fetch-site')
  if (site === 'same-origin' || site === 'none') return
  const origin = c.req.header('origin')
  if (site === undefined && (origin === undefined || isOurs(c, origin))) return
  throw new Problem(
    'forbidden',
    'A page of another origin can not change anything here. Send it from a page of this one, or by a program.',
  )
}

/** A proxy may ask for another host than it was asked for, and then says which that was; no form can say so. */
function isOurs(c: Context, origin: string) {
  const host = origin.replace(/^https?:\/\//, '')
  return host !== origin && (host === c.req.header('host') || host === c.req.header('x-forwarded-host'))
}
