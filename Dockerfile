FROM node:24-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The one install script is that of the package `node`: it would bring a second Node.js.
RUN npm ci --omit=dev --ignore-scripts

FROM node:24-slim
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY package.json LICENSE ./
COPY bin bin
COPY src src
RUN mkdir -p /data node_modules/.cache && chown 1000:1000 /data node_modules/.cache
ENV HOST=0.0.0.0 PORT=10000 DATA_DIR=/data
# By its number: Kubernetes cannot tell that a name is not root.
USER 1000:1000
# It is started once: an image that does not start is none, and what Node.js compiles is kept for every later start.
RUN HOST=127.0.0.1 node -e "const { spawn } = require('node:child_process'); \
    const server = spawn('node', ['--max-semi-space-size=16', 'bin/daehwa.js'], { stdio: ['ignore', 'pipe', 'inherit'] }); \
    server.stdout.on('data', (lines) => String(lines).includes('ready') && server.kill()); \
    server.on('exit', (code) => process.exit(code ?? 1))" && rm -r /data/*
VOLUME /data
EXPOSE 10000
HEALTHCHECK --start-period=120s --interval=15s --timeout=5s CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/healthz').then((reply) => process.exit(reply.ok ? 0 : 1), () => process.exit(1))"]
# It finishes what it is answering for up to 23 seconds after SIGTERM: docker stop --timeout 30
CMD ["node", "--max-semi-space-size=16", "bin/daehwa.js"]
