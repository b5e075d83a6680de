/**
 * The three functions of `reflect-metadata` that `@peculiar/x509` needs to load: its dependency container refuses to
 * start without them, though nothing used here declares injected parameters. Import it before `@peculiar/x509`.
 */
const metadata = new WeakMap<object, Map<unknown, unknown>>()

const getMetadata = (key: unknown, target: object): unknown => metadata.get(target)?.get(key)

const defineMetadata = (key: unknown, value: unknown, target: object): void => {
  const entries = metadata.get(target) ?? new Map<unknown, unknown>()
  metadata.set(target, entries.set(key, value))
}

// A real polyfill that was loaded first stays.
if (!("getMetadata" in Reflect)) {
  Object.assign(Reflect, { getMetadata, getOwnMetadata: getMetadata, defineMetadata })
}
