import * as module from 'node:module'

// Loaded before anything else into each process and thread of `npm run test:pgbouncer`: there all connections that the server opens
// to Postgres are those of connection.ts beside this. What else the tests do, they do directly: databases, migrations and locks
// are an admin's, and an admin doesn't go through PgBouncer.
// One test starts a Node that is too old for the server, and for this.
module.registerHooks?.({
  resolve(specifier, context, nextResolve) {
    const isServers = /\/src\/database\/\w+\.ts$/.test(context.parentURL ?? '')
    if (specifier !== './connection.ts' || !isServers) return nextResolve(specifier, context)
    return nextResolve(new URL('connection.ts', import.meta.url).href, context)
  },
})
