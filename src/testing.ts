/**
 * Test layers.
 *
 * @since 0.1.0
 */

export * from "@holdfast/testing"
