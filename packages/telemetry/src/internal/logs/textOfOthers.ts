/**
 * Text of others that a line shows. Control characters (C0 and C1) and Unicode's two separators could forge a line or hide one, and
 * characters that turn the direction of text could make a line read otherwise than it is.
 */
const unsafe = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu
const unsafeRun = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+/gu

/** In one line: a character that a line cannot hold is a blank. */
export const oneLine = (text: string): string => text.replace(unsafeRun, " ")

/** A value as JSON, in which characters that a line cannot hold are escaped: the reader has all of it. */
export const jsonLine = (value: unknown): string =>
  // outside of its strings JSON has none of them here, for nothing is indented
  (JSON.stringify(value) ?? "null").replace(
    unsafe,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  )
