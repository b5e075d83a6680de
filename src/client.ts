/**
 * The doors for Effect's own HTTP clients: a policy on one, a transport made of one, an upstream as one. It loads modules of Effect that
 * are not stable, which `holdfast` does not.
 *
 * @since 0.1.0
 */

export * from "@holdfast/http/client"
