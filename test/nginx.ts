import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll } from 'vitest'
import { checkout, endPrograms, startProgram } from './process.ts'

const execute = promisify(execFile)

/** Why nginx can't be run here; undefined if it can. */
export const withoutNginx: string | undefined = await execute('nginx', ['-v']).then(
  () => undefined,
  () => 'nginx is not installed',
)

export type Nginx = {
  url: string
  /** Has the files that it serves, below static/ and media/. */
  folder: string
  log: () => Promise<string>
  /** What it has said besides. */
  lines: string[]
}

const folders: string[] = []
afterAll(async () => {
  await endPrograms()
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })))
})

/**
 * Runs nginx with nginx/default.conf, in which only addresses and folders are others: `server` is where the server is, or the
 * servers are, that it stands in front of. With a certificate and its key it speaks TLS, by nginx/tls.conf. Ended after the tests.
 */
export async function startNginx(
  server: string | string[],
  tls?: { certificate: string; key: string },
): Promise<Nginx> {
  const folder = await mkdtemp(join(tmpdir(), 'lab-inventory-nginx-'))
  folders.push(folder)
  await mkdir(join(folder, 'static', '1'), { recursive: true })
  await mkdir(join(folder, 'media'))
  const port = await freePort()
  const listen = tls ? `listen 127.0.0.1:${port} ssl; include ${folder}/tls.conf;` : `listen 127.0.0.1:${port};`
  const site = replaceAll(await readFile(`${checkout}nginx/default.conf`, 'utf8'), {
    'listen 8080;': listen,
    'resolver 127.0.0.11 ipv6=off valid=2s;': '',
    'server web:5000 resolve max_fails=0;': [server]
      .flat()
      .map((each) => `server ${new URL(each).host} max_fails=0;`)
      .join(' '),
    '/dev/stdout': `${folder}/access.log`,
    'root /srv;': `root ${folder};`,
  })
  await writeFile(`${folder}/server.conf`, site)
  if (tls) {
    const settings = replaceAll(await readFile(`${checkout}nginx/tls.conf`, 'utf8'), {
      '/etc/nginx/tls/certificate.pem': tls.certificate,
      '/etc/nginx/tls/key.pem': tls.key,
      // Debian 12's nginx has another word for it.
      'http2 on;': '',
    })
    await writeFile(`${folder}/tls.conf`, settings)
  }
  await writeFile(`${folder}/nginx.conf`, around(folder))
  const program = startProgram('nginx', ['-p', folder, '-e', `${folder}/error.log`, '-c', `${folder}/nginx.conf`])
  await program.line(/start worker process/)
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    folder,
    log: () => readFile(`${folder}/access.log`, 'utf8'),
    lines: program.lines,
  }
}

/** What nginx/nginx.conf has around it, for a machine instead of a container. */
function around(folder: string) {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `
    daemon off;
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    worker_processes 1;
    pid ${folder}/nginx.pid;
    error_log stderr notice;
    events { worker_connections 1024; }
    http {
      types { text/css css; }
      ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')}
      include ${folder}/server.conf;
    }`
}

/** Fails if one of the texts isn't there: then the file has changed, and what is tested would not be what was meant. */
function replaceAll(text: string, replacements: Record<string, string>) {
  return Object.entries(replacements).reduce((result, [from, to]) => {
    if (!result.includes(from)) throw new Error(`There is no "${from}" any more.`)
    return result.replaceAll(from, to)
  }, text)
}

async function freePort(): Promise<number> {
  return await new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}
