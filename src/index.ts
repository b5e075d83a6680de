/**
 * Everything but the transport and the test layers, in one import.
 *
 * @since 0.1.0
 */

export * from "@holdfast/core"
export * from "@holdfast/http"
