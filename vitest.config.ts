import { defineConfig } from "vitest/config"

// Workspace packages are imported by name and their `exports` point at the sources: nothing has to be built first.
export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      {
        test: {
          name: "unit",
          include: ["packages/*/test/**/*.test.ts", "packages/*/src/**/*.test.ts", "src/**/*.test.ts"],
          setupFiles: ["./test/support/properties.ts", "./test/support/loopbackOnly.ts"],
          // properties try hundreds of cases: a busy machine may be slow without being wrong
          testTimeout: 60_000
        }
      },
      {
        test: {
          name: "integration",
          include: ["test/**/*.test.ts"],
          exclude: ["test/drills/**"],
          setupFiles: ["./test/support/loopbackOnly.ts"],
          // Real sockets and servers in processes of their own: a busy machine may be slow without being wrong.
          testTimeout: 60_000,
          hookTimeout: 60_000
        }
      },
      {
        test: {
          name: "drills",
          include: ["test/drills/**/*.test.ts"],
          // Minutes of load on both cores, so one file after the other.
          // Real servers beside two clients on a busy machine: what fails by chance alone does not fail twice.
          retry: 1,
          fileParallelism: false,
          testTimeout: 90_000,
          hookTimeout: 60_000
        }
      },
      {
        test: {
          name: "examples",
          include: ["examples/**/*.test.ts"],
          setupFiles: ["./test/support/loopbackOnly.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000
        }
      }
    ]
  }
})
