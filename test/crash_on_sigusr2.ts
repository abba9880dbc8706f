// For test/crash.test.ts, by NODE_OPTIONS: has a worker, or the primary, fail where nothing in the sources does.
import cluster from 'node:cluster'

if (cluster.isWorker || process.env.CRASH === 'primary') {
  process.on('SIGUSR2', () => {
    const error = Object.assign(new Error('a crash'), {
      parameters: ['Canary'],
      query: '\n  -- readNothing\n  select $1',
    })
    // So that nothing that it waits for comes from the primary.
    if (process.env.CRASH === 'mute') process.send = () => true
    if (process.env.CRASH === 'rejection') Promise.reject(error)
    else throw error
  })
}
