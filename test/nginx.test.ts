import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { createServer, get, type IncomingMessage, type RequestListener, type RequestOptions, request } from 'node:http'
import { request as secureRequest } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import { testDatabase } from './database.ts'
import { type Nginx, startNginx, withoutNginx } from './nginx.ts'
import { run } from './postgres.ts'
import { startProgram } from './process.ts'

// nginx/default.conf itself, in front of a server of its own.

const { url: DATABASE_URL } = await testDatabase()
if (withoutNginx) console.info(`Skipped, because ${withoutNginx}: the tests of nginx/.`)
const withoutOpenssl = await promisify(execFile)('openssl', ['version']).then(
  () => false,
  () => true,
)
if (withoutOpenssl) console.info('Skipped, because openssl is not installed: the test of TLS.')

let server: string
let nginx: Nginx

beforeAll(async () => {
  if (withoutNginx) return
  await run(
    DATABASE_URL,
    `
    insert into site (id, name) values (1, repeat('Site 1, ', 500)), (2, 'Site 2');
    insert into computer (id, name, site_id) select id, repeat('x', 3000), 1 from generate_series(1, 3000) as id`,
  )
  const program = startProgram(process.execPath, ['--import', './src/node_version.js', 'src/main.ts'], {
    env: { DATABASE_URL, PORT: '0' },
  })
  server = JSON.parse(await program.line(/"msg":"listening"/)).url
  nginx = await startNginx(server)
})

const gzip = { 'Accept-Encoding': 'gzip' }

describe.skipIf(withoutNginx)('behind nginx', () => {
  test('a row is not compressed, so that If-Match holds for its ETag', async () => {
    const row = await ask('/site/1', { headers: gzip })
    expect(row.headers['content-encoding']).toBeUndefined()
    expect(row.headers.etag).toMatch(/^"\d+"$/)
    const headers = { 'If-Match': String(row.headers.etag), 'Content-Type': 'application/json', ...gzip }
    const written = await ask('/site/1', { method: 'POST', headers, body: '{"contact":"Ada"}' })
    expect(written.status).toBe(200)
    expect(written.headers.etag).toMatch(/^"\d+"$/)
    expect((await ask('/site/1', { method: 'POST', headers, body: '{"contact":"Ada"}' })).status).toBe(412)
    const unchanged = await ask('/site/1', { headers: { 'If-None-Match': String(written.headers.etag), ...gzip } })
    expect(unchanged.status).toBe(304)
  })

  test.each([
    '/computers',
    '/computers/0/100',
    '/computers/?limit=100',
    '/computers?format=ndjson&limit=100',
    '/computers?format=csv&limit=100',
    '/site/1/computers',
    '/search?q=site',
    '/openapi.json',
    '/docs/swagger-ui.css',
  ])('%s is compressed, and is what the server sent', async (path) => {
    const answer = await ask(path, { headers: gzip })
    expect(answer.headers['content-encoding']).toBe('gzip')
    expect(answer.headers.vary).toContain('Accept-Encoding')
    const plain = await (await fetch(server + path)).arrayBuffer()
    expect(gunzipSync(answer.bytes).equals(Buffer.from(plain))).toBe(true)
    expect((await ask(path)).headers['content-encoding']).toBeUndefined()
  })

  test('what has an ETag and is compressed is still known by it', async () => {
    const { headers } = await ask('/openapi.json', { headers: gzip })
    const again = await ask('/openapi.json', { headers: { 'If-None-Match': String(headers.etag), ...gzip } })
    expect(again.status).toBe(304)
  })

  test.each([{}, gzip])('a list that breaks off does not look complete, with %o', async (headers) => {
    const [response] = (await once(get(`${nginx.url}/computers`, { headers, agent: false }), 'response')) as [
      IncomingMessage,
    ]
    await once(response, 'readable')
    const admin = new pg.Client(DATABASE_URL)
    await admin.connect()
    // The rest of the list can't be had any more, so that it has to be broken off.
    await admin.query('alter table computer rename to hidden')
    try {
      const read = response.toArray()
      await expect(read).rejects.toThrow('aborted')
    } finally {
      await admin.query('alter table hidden rename to computer')
      await admin.end()
    }
  })

  test.each(['/metrics', '/metrics/', '//status', '/%6detrics?x', '/x/../status'])('%s is private', async (path) => {
    const answer = await ask(path)
    expect(answer.status).toBe(404)
    expect(problem(answer)).toMatchObject({ title: 'Not Found', status: 404 })
  })

  test("the server's problems are passed on as they are", async () => {
    const answer = await ask('/site/999', { headers: { 'X-Request-Id': 'mine-1' } })
    expect(answer.status).toBe(404)
    expect(problem(answer)).toMatchObject({ detail: 'There is no site 999.' })
    expect(answer.headers['x-request-id']).toBe('mine-1')
  })

  test.each([
    ['a body too large', 413, { path: '/site', method: 'POST', body: 'x'.repeat(1024 * 1024 + 1) }],
    ['a URI too long', 414, { path: `/sites?x=${'x'.repeat(9000)}` }],
    ['a header too long', 431, { path: '/sites', headers: { 'X-Long': 'x'.repeat(9000) } }],
    ['a method that it can not use', 405, { path: '/static/x.css', method: 'POST' }],
    ['no such file', 404, { path: '/media/x' }],
  ])('%s is a problem in the form of the server: %i', async (_, status, { path, ...options }) => {
    const answer = await ask(path, options)
    expect(answer.status).toBe(status)
    expect(problem(answer)).toMatchObject({ type: 'about:blank', status, errors: [] })
    expect(answer.headers['x-request-id']).toMatch(/^\w{32}$/)
    expect(answer.headers['x-content-type-options']).toBe('nosniff')
  })

  test('a body of exactly the limit gets to the server', async () => {
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' }
    const answer = await ask('/site', { method: 'POST', headers, body: `name=${'x'.repeat(1024 * 1024 - 5)}` })
    expect(answer.status).toBe(400)
    expect(answer.bytes.toString()).toContain('10000')
  })

  test('a file has its type, and is not taken for a list because of its path', async () => {
    await writeFile(`${nginx.folder}/static/1/a.css`, 'body {}')
    const answer = await ask('/static/1/a.css')
    expect(answer.status).toBe(200)
    expect(answer.headers['content-type']).toBe('text/css')
  })

  test('the log has a line for each request, with its id and without what it asks for', async () => {
    await ask('/search?q=planted-canary', { headers: { 'X-Request-Id': 'logged-1' } })
    const lines = await expect
      .poll(async () => (await nginx.log()).split('\n').filter((line) => line.includes('logged-1')))
      .toHaveLength(1)
      .then(() => nginx.log())
    const line = lines.split('\n').find((line) => line.includes('logged-1')) ?? ''
    expect(JSON.parse(line)).toMatchObject({ requestId: 'logged-1', method: 'GET', path: '/search', status: 200 })
    expect(lines).not.toContain('planted-canary')
    expect(lines).toMatch(/"method":"POST","path":"\/static\/x\.css","status":405/)
  })

  test('a client that takes its time with the head of a request is cut off', { timeout: 20_000 }, async () => {
    const socket = connect(Number(new URL(nginx.url).port), '127.0.0.1')
    socket.write('GET /sites HTTP/1.1\r\nHost:')
    const startedAt = performance.now()
    expect(await text(socket).catch(() => '')).toBe('')
    expect(performance.now() - startedAt).toBeLessThan(15_000)
  })
})

describe.skipIf(withoutNginx)('nginx', () => {
  test('tells too many at once to come again, as a problem', async () => {
    const { url } = await startNginx(server)
    // In a single write, so that they come faster than they are let through, whatever this machine does meanwhile.
    const count = 6_000
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    const head = 'GET /static/none HTTP/1.1\r\nHost: x\r\n'
    socket.write(`${`${head}\r\n`.repeat(count - 1)}${head}Connection: close\r\n\r\n`)
    const answers = await text(socket)
    expect(answers.match(/HTTP\/1\.1 404/g)?.length).toBeGreaterThan(2_000)
    const refused = answers.split(/(?=HTTP\/1\.1 )/).filter((answer) => answer.startsWith('HTTP/1.1 429'))
    expect(refused.length).toBeGreaterThan(0)
    expect(refused[0]).toMatch(/^Retry-After: 1\r$/m)
    expect(refused[0]).toMatch(/^Content-Type: application\/problem\+json\r$/m)
  })

  test('says that the server is away, and when to try again', async () => {
    const { url } = await startNginx('http://127.0.0.1:1')
    const response = await fetch(`${url}/sites`)
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBe('1')
    expect(await response.json()).toMatchObject({ title: 'Service Unavailable', status: 503 })
  })

  test('does not tell to repeat a write that may have been done', async () => {
    const lost = createServer((incoming) => incoming.socket.destroy()).listen(0, '127.0.0.1')
    await once(lost, 'listening')
    const { url } = await startNginx(`http://127.0.0.1:${(lost.address() as AddressInfo).port}`)
    const read = await ask('/site/1', {}, url)
    expect([read.status, problem(read).detail]).toEqual([503, expect.stringMatching(/can not be reached .* Try again/)])
    for (const method of ['POST', 'DELETE']) {
      const write = await ask('/site/1', { method, body: 'name=x' }, url)
      expect([write.status, problem(write).detail]).toEqual([
        503,
        expect.stringMatching(/See first whether the write was done/),
      ])
      expect(write.headers['retry-after']).toBe('1')
    }
    const search = await ask('/search', { method: 'POST', body: 'q=x' }, url)
    expect(problem(search).detail).toMatch(/can not be reached/)
    lost.close()
    await once(lost, 'close')
    const refused = await ask('/site/1', { method: 'POST', body: 'name=x' }, url)
    expect(problem(refused).detail).toMatch(/can not be reached/)
  })

  test('repeats what only reads, and nothing else that has been sent; of that it asks another server only when one is away', async () => {
    const seen: string[] = []
    const losing = await listen((incoming) => {
      seen.push(`lost ${incoming.method}`)
      incoming.socket.destroy()
    })
    const answering = await listen((incoming, response) => {
      seen.push(`answered ${incoming.method}`)
      text(incoming).then((body) => response.end(`${incoming.method} of ${body.length}`))
    })
    const { url } = await startNginx([losing.url, answering.url])
    for (const method of ['DELETE', 'PUT', 'PATCH', 'OPTIONS', 'POST', 'GET', 'HEAD']) {
      const statuses: unknown[] = []
      // Each server is the first to be asked for one of the two.
      for (let i = 0; i < 2; i++) statuses.push((await ask('/site/1', { method }, url)).status)
      const reads = ['GET', 'HEAD'].includes(method)
      expect(statuses.sort(), method).toEqual(reads ? [200, 200] : [200, 503])
      const times = seen.splice(0).sort()
      const answered = times.filter((each) => each === `answered ${method}`).length
      expect([method, answered, times.length - answered]).toEqual([method, reads ? 2 : 1, 1])
    }
    losing.close()
    // Node gives the body of a DELETE no length by itself.
    const sent = { method: 'DELETE', headers: { 'Content-Length': 100_000 }, body: 'x'.repeat(100_000) }
    for (let i = 0; i < 20; i++) {
      const answer = await ask('/site/1', sent, url)
      expect([answer.status, answer.bytes.toString()]).toEqual([200, 'DELETE of 100000'])
    }
    answering.close()
    const away = await ask('/site/1', { method: 'DELETE' }, url)
    expect([away.status, problem(away).detail]).toEqual([503, expect.stringMatching(/can not be reached .* Try again/)])
    expect(away.headers['retry-after']).toBe('1')
  })

  test('says nothing of what a query asks for or where a client comes from, even when a server is lost', async () => {
    const losing = await listen((incoming) => void incoming.socket.destroy())
    const { url, lines, folder } = await startNginx([losing.url, 'http://127.0.0.1:1'])
    for (const path of ['/sites?name=planted-canary', '/static/none?planted-canary', '/site/1?planted-canary']) {
      await ask(path, { headers: { Referer: 'http://x/?planted-canary' } }, url)
      await ask(path, { method: 'DELETE', headers: { Referer: 'http://x/?planted-canary' } }, url)
    }
    losing.close()
    // It writes a line of that before it answers.
    expect(lines.join('\n')).toContain('start worker process')
    expect(lines.join('\n')).not.toContain('planted-canary')
    expect(await readFile(`${folder}/error.log`, 'utf8')).not.toContain('planted-canary')
  })

  test.each(['static', 'media'])('follows no link out of %s, and none within it', async (name) => {
    await writeFile(`${nginx.folder}/key`, 'secret')
    await writeFile(`${nginx.folder}/${name}/file`, 'a file')
    await mkdir(`${nginx.folder}/${name}/folder`)
    await writeFile(`${nginx.folder}/${name}/folder/file`, 'a file')
    await symlink('../key', `${nginx.folder}/${name}/out`)
    await symlink('file', `${nginx.folder}/${name}/within`)
    await symlink('..', `${nginx.folder}/${name}/up`)
    for (const [path, status] of [
      ['file', 200],
      ['folder/file', 200],
      ['out', 404],
      ['within', 404],
      ['up/key', 404],
    ]) {
      expect([path, (await ask(`/${name}/${path}`)).status]).toEqual([path, status])
    }
  })

  test('tells the server who asks as it knows it, and not as the client says', async () => {
    const seen: IncomingMessage['headers'][] = []
    const upstream = createServer((incoming, response) => {
      seen.push(incoming.headers)
      response.end()
    }).listen(0, '127.0.0.1')
    await once(upstream, 'listening')
    const { url } = await startNginx(`http://127.0.0.1:${(upstream.address() as AddressInfo).port}`)
    await fetch(`${url}/site/1`, { headers: { 'X-Forwarded-For': '10.0.0.1', Forwarded: 'for=10.0.0.1' } })
    await fetch(`${url}/sites`, { headers: { 'X-Forwarded-For': '10.0.0.1', Forwarded: 'for=10.0.0.1' } })
    upstream.close()
    expect(seen).toHaveLength(2)
    for (const headers of seen) {
      expect(headers).toMatchObject({ 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'http' })
      expect(headers.forwarded).toBeUndefined()
    }
  })

  test.skipIf(withoutOpenssl)('with a certificate and its key it speaks TLS, and sends plain HTTP there', async () => {
    const certificate = `${nginx.folder}/certificate.pem`
    const key = `${nginx.folder}/key.pem`
    const options = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=x']
    await promisify(execFile)('openssl', ['req', ...options, '-keyout', key, '-out', certificate])
    const { url } = await startNginx(server, { certificate, key })
    for (const [path, status] of [
      ['/site/2', 200],
      ['/sites', 200],
      ['/metrics', 404],
    ] as const) {
      const answer = await ask(path, {}, url)
      expect(answer.status).toBe(status)
      expect(answer.headers['strict-transport-security']).toBe('max-age=31536000')
    }
    const plain = url.replace('https', 'http')
    const sent = await fetch(`${plain}/site/1?fields=id`, { method: 'POST', redirect: 'manual' })
    expect(sent.status).toBe(308)
    expect(sent.headers.get('location')).toBe(`${url}/site/1?fields=id`)
    expect((await ask('/site/2')).headers['strict-transport-security']).toBeUndefined()
  })
})

/** A server of the test's own; the connections that nginx keeps to it are closed with it. */
async function listen(answer: RequestListener) {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = () => {
    server.close()
    server.closeAllConnections()
  }
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close }
}

type Answer = { status: number | undefined; headers: IncomingMessage['headers']; bytes: Buffer }

/** Not by fetch, which decompresses, and tidies the path. */
async function ask(
  path: string,
  { body = '', ...options }: RequestOptions & { body?: string } = {},
  url = nginx.url,
): Promise<Answer> {
  const { hostname, port } = new URL(url)
  const send = url.startsWith('https') ? secureRequest : request
  const sent = send({ hostname, port, path, agent: false, rejectUnauthorized: false, ...options })
  // A server that has refused a body need not read it.
  sent.on('error', () => {})
  sent.end(body)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  return {
    status: response.statusCode,
    headers: response.headers,
    bytes: Buffer.concat(await response.toArray()),
  }
}

function problem({ headers, bytes }: Answer) {
  expect(headers['content-type']).toBe('application/problem+json')
  return JSON.parse(bytes.toString())
}
