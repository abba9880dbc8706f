import { STATUS_CODES } from 'node:http'
import postgres from 'postgres'

/** What went wrong, as far as the client can tell. */
const statuses = {
  invalid: 400,
  missing: 404,
  not_allowed: 405,
  conflict: 409,
  precondition: 412,
  too_large: 413,
  unsupported: 415,
  internal: 500,
  unavailable: 503,
} as const

export type Code = keyof typeof statuses

export type FieldError = { field: string; message: string }

/** An error that the client is told of, in words that say what to change. Answered as RFC 9457 has it. */
export class Problem extends Error {
  readonly status: (typeof statuses)[Code]
  readonly errors: FieldError[]

  constructor(code: Code, detail: string, errors: FieldError[] = [], options?: ErrorOptions) {
    super(detail, options)
    this.status = statuses[code]
    this.errors = errors
  }

  /** The members of RFC 9457, section 3.1; `about:blank` says that the status is all there is to the type (4.2.1). */
  toJSON() {
    return {
      type: 'about:blank',
      title: STATUS_CODES[this.status],
      status: this.status,
      detail: this.message,
      errors: this.errors,
    }
  }
}

/** One or more fields that can't be taken as they are. */
export function fieldProblem(code: Code, errors: FieldError[], options?: ErrorOptions): Problem {
  return new Problem(code, errors.map(({ field, message }) => `${field}: ${message}`).join('; '), errors, options)
}

/** Constraints that only the database can check: rows that another request may write at the same time. */
const constraints: Record<string, FieldError> = {
  freezer_site_id_fkey: { field: 'site_id', message: 'there is no site with this id' },
  computer_site_id_fkey: { field: 'site_id', message: 'there is no site with this id' },
  container_freezer_id_fkey: { field: 'freezer_id', message: 'there is no freezer with this id' },
  computer_mac_key: { field: 'mac', message: 'another computer has this MAC address' },
  container_uuid_key: { field: 'uuid', message: 'another container has this UUID' },
}

/** Whatever was thrown, as a Problem; what nobody foresaw becomes an internal error, with the original as its cause. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  const { code } = error as { code?: unknown }
  if (error instanceof postgres.PostgresError) {
    const constraint = constraints[error.constraint_name ?? '']
    if (error.code === '23503' || error.code === '23505') {
      if (constraint) return fieldProblem('conflict', [constraint], { cause: error })
    }
    if (error.code === '23502' && error.column_name) {
      return fieldProblem('invalid', [{ field: error.column_name, message: 'is needed to create it' }], {
        cause: error,
      })
    }
  }
  if (isOfDriver(error) && typeof code === 'string' && passing.test(code)) {
    return new Problem('unavailable', 'The database can not answer at the moment. Try again soon.', [], {
      cause: error,
    })
  }
  if (code === 'ECONNRESET') return new Problem('invalid', 'The request broke off.', [], { cause: error })
  return new Problem('internal', 'Something went wrong in the server, not in the request. It has been logged.', [], {
    cause: error,
  })
}

// The driver adds the query to whatever makes it fail, or has a name of its own for it; a client that leaves halfway through
// its request gives the same codes without.
function isOfDriver(error: unknown) {
  const { code } = error as { code?: string }
  return (
    error instanceof postgres.PostgresError || Object.hasOwn(error as object, 'query') || /^CONNECT/.test(code ?? '')
  )
}

/**
 * Errors that go away without anybody changing the request. SQLSTATEs are those of appendix A of the Postgres manual:
 * 08 connection, 25006 read-only, 40 rolled back in favour of another, 53 out of resources, 55P03 lock not available,
 * 57014 timeout, 57P0 shutting down. The driver has names of its own, and Node those of errno(3) and getaddrinfo(3).
 */
const passing =
  /^(08...|25006|40001|40P01|53...|55P03|57014|57P0.|CONNECT_TIMEOUT|CONNECTION_\w+|ECONN\w+|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|ENOENT)$/
