import { spawnSync } from 'node:child_process'
import { chownSync, rmSync } from 'node:fs'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { startProgram } from '../process.ts'
import { atEnd } from './at_end.ts'
import { whoRuns } from './binaries.ts'
import { freePort } from './port.ts'

/** Why there is no nginx here; undefined if there is. */
export const withoutNginx =
  spawnSync('nginx', ['-v'], { env: { PATH: `${process.env.PATH}:/usr/sbin` } }).status === 0
    ? undefined
    : "Debian's nginx is not installed"

/**
 * nginx with the project's configuration before servers on these ports of loopback; resolves when it listens. What is Docker's is
 * replaced: the name of the server, the DNS to ask for it, the port, and the log on stdout. It is stopped after the test.
 */
export async function startNginx(ports: number[]): Promise<{ url: string; lines: string[] }> {
  const port = await freePort()
  const folder = await mkdtemp(path.join(tmpdir(), 'lab-inventory-nginx-'))
  const who = whoRuns()
  if (who) chownSync(folder, who.uid, who.gid)
  atEnd(async () => rmSync(folder, { recursive: true, force: true }))

  const theirs = await readFile(new URL('../../nginx/default.conf', import.meta.url), 'utf8')
  const servers = ports.map((each) => `server 127.0.0.1:${each} max_fails=0;`).join(' ')
  const ours = [
    [/^resolver .*;$/m, ''],
    [/server web:5000 resolve max_fails=0;/, servers],
    [/listen 8080;/, `listen 127.0.0.1:${port};`],
    [/access_log .*;/, `access_log ${folder}/access.log requests;`],
  ].reduce((text, [pattern, replacement]) => replaced(text, pattern as RegExp, replacement as string), theirs)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (each) => `${each}_temp_path ${folder}/${each};`,
  )
  await writeFile(path.join(folder, 'default.conf'), ours)
  await writeFile(
    path.join(folder, 'nginx.conf'),
    `daemon off; worker_processes 2; pid ${folder}/pid; error_log stderr notice;
    events { worker_connections 4096; }
    http { ${temporary.join(' ')} include default.conf; }`,
  )

  const nginx = ['nginx', '-p', folder, '-c', path.join(folder, 'nginx.conf')]
  const as = who ? ['setpriv', `--reuid=${who.uid}`, `--regid=${who.gid}`, '--clear-groups', ...nginx] : nginx
  const [command = '', ...args] = as
  const program = startProgram(command, args, { cwd: '/', env: { PATH: `${process.env.PATH}:/usr/sbin` } })
  atEnd(async () => {
    program.kill('SIGTERM')
    await program.ended()
  })
  await program.line(/start worker process \d+/)
  return { url: `http://127.0.0.1:${port}`, lines: program.lines }
}

function replaced(text: string, pattern: RegExp, replacement: string) {
  if (!pattern.test(text)) throw new Error(`nginx/default.conf has no ${pattern} any more, which this replaces`)
  return text.replace(pattern, replacement)
}
