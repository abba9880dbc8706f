// The packages in bench/node_modules, as far as they are used here: the types of the project are checked without them too.

declare module 'autocannon' {
  type Client = { setRequests(requests: { method: string; path: string; body?: string }[]): void }
  type Result = { errors: number; timeouts: number; non2xx: number }
  export default function autocannon(
    options: {
      url: string
      connections: number
      duration: number
      sampleInt: number
      timeout: number
      setupClient: (client: Client) => void
    },
    done: (error: Error | null, result: Result) => void,
  ): { on(event: 'response', listener: (client: Client, status: number, bytes: number, ms: number) => void): void }
}

declare module 'fastify' {
  type Request = { params: { [name: string]: string }; query: { [name: string]: string }; body: unknown }
  type Reply = { code(status: number): Reply; type(type: string): Reply; send(answer: unknown): Reply }
  type Add = (path: string, options: object, handler: (request: Request, reply: Reply) => Promise<unknown>) => void
  export default function fastify(): {
    get: Add
    post: Add
    listen(options: { host: string; port: number }): Promise<string>
  }
}

declare module 'express' {
  import type { Writable } from 'node:stream'

  type Request = { params: { [name: string]: string }; query: { [name: string]: string }; body: never }
  type Response = Writable & {
    status(status: number): Response
    type(type: string): Response
    json(answer: unknown): void
  }
  type Add = (path: string, handler: (request: Request, response: Response) => Promise<void>) => void
  function express(): {
    use(middleware: unknown): void
    get: Add
    post: Add
    listen(port: number, host: string): void
  }
  namespace express {
    function json(): unknown
  }
  export default express
}

declare module 'pg-cursor' {
  const Cursor: unknown
  export default Cursor
}

declare module 'pg-query-stream' {
  import type { Readable } from 'node:stream'
  import type { Submittable } from 'pg'
  export default class QueryStream extends Readable implements Submittable {
    constructor(text: string, values?: unknown[])
    submit: Submittable['submit']
  }
}

declare module 'kysely' {
  type Query = PromiseLike<never> & {
    select(columns: unknown): Query
    where(column: string, operator: string, value: unknown): Query
    unionAll(query: Query): Query
    innerJoin(table: string, left: string, right: string): Query
    orderBy(column: string): Query
    offset(count: number): Query
    limit(count: number): Query
    as(name: string): unknown
    values(row: object): Query
    onConflict(build: (conflict: { column(name: string): { doUpdateSet(row: object): unknown } }) => unknown): Query
    returning(columns: string[]): Query
    execute(): Promise<object[]>
    executeTakeFirst(): Promise<object | undefined>
    executeTakeFirstOrThrow(): Promise<object>
    stream(rows: number): AsyncIterable<object>
  }
  export class Kysely {
    constructor(options: { dialect: PostgresDialect })
    selectFrom(table: unknown): Query
    insertInto(table: string): Query
  }
  export class PostgresDialect {
    constructor(options: { pool: unknown; cursor: unknown })
  }
  export function sql(text: TemplateStringsArray): { as(name: string): unknown }
}
