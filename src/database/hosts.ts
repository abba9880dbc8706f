const hosts = /^(postgres(?:ql)?:\/\/(?:[^/?#]*@)?)([^/?#]+)(.*)$/s

/**
 * A URL for each host that a database URL names: `postgresql://user@a:5432,b:5433/db` is two. So libpq has it
 * (Postgres manual, "Specifying Multiple Hosts"), but neither of the drivers takes all of it.
 * `target_session_attrs` is left out: of several hosts the one that takes writes is meant anyhow.
 */
export function hostsOf(url: string): string[] {
  const [, before = '', between = '', after = ''] = hosts.exec(url) ?? []
  if (!between) return [url]
  return between.split(',').map((host) => {
    const single = new URL(`${before}${host}${after}`)
    single.searchParams.delete('target_session_attrs')
    return single.href
  })
}
