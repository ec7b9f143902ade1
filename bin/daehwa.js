#!/usr/bin/env node
// Plain JavaScript that any Node can read: it tells an old Node what is missing, before TypeScript is met.
const major = Number(process.versions.node.split('.')[0])
if (major >= 24) {
  // What was made of the sources is kept for the next start, which needs half the time and less memory then.
  import('node:module').then(({ enableCompileCache }) => {
    enableCompileCache(new URL('../node_modules/.cache/daehwa', import.meta.url).pathname)
    return process.argv.length > 2 ? import('../src/cli/main.ts') : import('../src/main.ts')
  })
} else {
  console.error(
    `daehwa: needs Node.js 24 or newer, and this is ${process.version}. Type "npm start", which brings its own, or install Node.js 24.`,
  )
  process.exitCode = 1
}
