/**
 * For services that Effect's HTTP server answers for. It loads modules of Effect that are not stable, which `holdfast` does not.
 *
 * @since 0.1.0
 */

export * from "@holdfast/http/server"
