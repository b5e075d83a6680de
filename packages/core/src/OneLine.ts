/**
 * Text of others in one line: a peer's words end up in messages, and messages in logs and terminals. A line break in it could
 * forge a line there, an escape sequence could hide one, and a sign that turns the direction of writing could make it read as
 * something else.
 *
 * **When to use**: for a message of an error of your own that repeats text from elsewhere. Every message of this library went
 * through it.
 *
 * **What it is not**: a bound on length, or an escape for HTML or SQL.
 *
 * @since 0.1.0
 */

/**
 * Control characters (Cc, so C0, DEL and C1), Unicode's two separators of lines and paragraphs, and its signs of direction
 * (Bidi_Control: U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069).
 */
const unwanted = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]+/gu

/**
 * The text with each run of control characters, line separators and signs of direction as one space, and each half of a surrogate
 * pair as U+FFFD, which is the only form that every encoder and every log takes.
 *
 * ```ts
 * import { OneLine } from "holdfast"
 *
 * console.log(OneLine.oneLine("not found\r\n2026-01-01 INFO all is well")) // => not found 2026-01-01 INFO all is well
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const oneLine = (text: string): string => text.replace(unwanted, " ").toWellFormed()
