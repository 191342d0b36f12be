# The same version as .nvmrc.
FROM node:20.20.2-bookworm-slim AS base
WORKDIR /app
COPY package.json package-lock.json ./

# Runtime dependencies. The embedded PostgreSQL is an optional dependency and is not installed:
# in production DATABASE_URL names the database.
FROM base AS dependencies
RUN npm ci --omit=dev --omit=optional

FROM base AS build
RUN npm ci --omit=optional
COPY nest-cli.json tsconfig.json tsconfig.build.json main.ts ormconfig.ts ./
COPY migrations ./migrations
COPY src ./src
RUN npm run build

FROM node:20.20.2-bookworm-slim
LABEL org.opencontainers.image.title=Tidings org.opencontainers.image.licenses=MIT
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json ./
USER node
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 3000}/health/live`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "dist/main.js"]
