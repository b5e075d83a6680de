/**
 * Policies whose state processes share in a store of Effect's. It loads modules of Effect that are not stable, which `holdfast` does not.
 *
 * @since 0.1.0
 */

export * from "@holdfast/core/shared"
