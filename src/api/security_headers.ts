import type { ServerResponse } from 'node:http'

/**
 * What every answer tells the browser that gets it, whether nginx is in front or not:
 * - what is answered is data: it loads and runs nothing, and is in nobody's frame (CSP level 3; the page at /docs has its own policy);
 * - it is of the type that it says, and of no other that a browser would guess;
 * - no address of the inventory, which may hold what was searched for, is told to other sites;
 * - no page of another origin may embed it (Fetch, "Cross-Origin-Resource-Policy"): without accounts, whoever can get at the server may
 *   read it, and so could any page that they look at;
 * - it is for who asked, and a cache asks again each time, with the ETag if there was one (RFC 9111, section 5.2.2).
 */
const headers = {
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'private, no-cache',
}

const entries = Object.entries(headers)

/** Sets them on an answer, before anything else is: a route may put another in the place of each. */
export function setSecurityHeaders(response: ServerResponse): void {
  for (const [name, value] of entries) response.setHeader(name, value)
}

/** The same for an answer that is written by hand: lines of HTTP/1.1. */
export const securityHeaderLines = entries.map(([name, value]) => `${name}: ${value}\r\n`).join('')
