# Two images: `--target dev`, for docker-compose.yml, and `--target production`, for docker-compose.prod.yml.
# Both run on the Node of the image; the one that npm would add for this platform is an optional dependency, left out.

FROM node:26-slim AS base
WORKDIR /app
# Nobody else can reach the loopback address of a container.
ENV HOST=0.0.0.0
EXPOSE 5000

# Before the sources, so that dependencies are only installed again when they change. Development needs no more of them
# than production: the tools are for the machine of whoever edits the sources.
FROM base AS dependencies
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --omit=optional && npm cache clean --force

FROM dependencies AS dev
COPY postgres_scripts postgres_scripts
COPY src src
# Where Node keeps what it has compiled.
RUN mkdir .data && chown node:node .data
USER node
CMD ["npm", "run", "dev"]

FROM base AS production
ENV NODE_ENV=production
COPY --from=dependencies /app/node_modules node_modules
COPY package.json ./
COPY postgres_scripts postgres_scripts
COPY src src
# Readable whatever the umask of the checkout. The folders are where docker-compose.prod.yml mounts its volumes; a new
# volume takes its owner from here.
RUN chmod -R a+rX package.json postgres_scripts src && mkdir static media .cache && chown node:node static media .cache
USER node
# What Node makes of the sources, made here once: a start takes half the processor time, and nothing is written then.
ENV NODE_COMPILE_CACHE=/app/.cache
RUN node --import ./src/node_version.js --eval "await import('./src/server.ts'); await import('./src/migrate.ts')"
# What `npm start` runs, without npm and a shell between the server and its signals.
CMD ["node", "--import", "./src/node_version.js", "src/main.ts"]
