import { STATUS_CODES } from 'node:http'
import { securityHeaderLines } from './api/security_headers.ts'
import { type Code, Problem } from './errors.ts'

// What Node refuses before the app sees it, or while the app waits for the rest of it.

const problems: Record<string, [Code, string]> = {
  ERR_HTTP_REQUEST_TIMEOUT: ['slow', 'The request took too long to arrive. Send it again, all at once.'],
  HPE_HEADER_OVERFLOW: ['long_header', 'The address and the headers must have less than 16 KiB together.'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: ['too_large', 'The chunks of the body must have less than 16 KiB of extensions.'],
}

/** What a client is told whose request Node gave up with this error. */
export function problemOf({ code }: { code?: string | undefined }): Problem {
  return new Problem(...(problems[code ?? ''] ?? ['invalid', 'This is not a request that the server can read.']))
}

/** The same as a whole answer, for a connection that is to be closed. */
export function answerTo(problem: Problem, requestId: string): string {
  const body = JSON.stringify(problem)
  return (
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\nConnection: close\r\nX-Request-Id: ${requestId}\r\n` +
    `Content-Type: application/problem+json\r\n${securityHeaderLines}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  )
}
