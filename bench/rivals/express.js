/**
 * What people write today: Express, the `openai` SDK, and the history of each client in memory. HISTORY is a file with the
 * messages that a client has when it is first seen. Address of the upstream in UPSTREAM, port in PORT.
 */
import { readFileSync } from 'node:fs'
import express from 'express'
import OpenAI from 'openai'

const openai = new OpenAI({ baseURL: process.env.UPSTREAM, apiKey: 'none' })
const past = JSON.parse(readFileSync(process.env.HISTORY, 'utf8'))
const histories = new Map()

const app = express()
app.use(express.json())

app.get('/readyz', (_, answer) => {
  answer.json({ status: 'ok' })
})

app.post('/query', async ({ body }, answer) => {
  const messages = histories.get(body.client_name) ?? [...past]
  histories.set(body.client_name, messages)
  messages.push({ role: 'user', content: body.input })
  const completion = await openai.chat.completions.create({ model: 'canned', messages })
  const { role, content } = completion.choices[0].message
  messages.push({ role, content })
  answer.json({ response: content })
})

app.listen(Number(process.env.PORT), '127.0.0.1')
