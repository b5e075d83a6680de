/**
 * Text in one line. What peers say ends up in messages, and messages in logs and terminals: a line break in it could forge
 * a line there, an escape sequence could hide one. Control characters (Cc) and Unicode's two separators become one space.
 */
export const oneLine = (text: string): string => text.replace(/[\p{Cc}\u2028\u2029]+/gu, " ")
