/** The content of a log line, by OpenTelemetry's data model. */

import * as RequestIdentity from "@holdfast/http/RequestIdentity"
import * as Cause from "effect/Cause"
import type * as Fiber from "effect/Fiber"
import type * as Logger from "effect/Logger"
import type * as LogLevel from "effect/LogLevel"
import * as References from "effect/References"
import { plainUnder, plainValue } from "./plainValue.ts"

/** A line of a log by OpenTelemetry's log data model, in the spelling that it has for JSON (`trace_id`, `severity_text`). */
export interface LogRecord {
  readonly timestamp: string
  readonly severity_text: string
  readonly severity_number: number
  readonly body: unknown
  readonly event_name?: string
  readonly trace_id?: string
  readonly span_id?: string
  readonly trace_flags?: string
  readonly attributes: { readonly [name: string]: unknown }
}

/** The annotation that names the event that a line tells of. */
export const eventName = "event.name"

export const requestIdName = "holdfast.request_id"

/** OpenTelemetry, logs data model, "SeverityNumber". */
const severityNumbers: { readonly [L in LogLevel.LogLevel]: number } = {
  All: 0,
  Trace: 1,
  Debug: 5,
  Info: 9,
  Warn: 13,
  Error: 17,
  Fatal: 21,
  None: 0
}

/** The attributes of a line: the annotations, and the identity of a request that was provided without them. */
export const annotationsOf = (fiber: Fiber.Fiber<unknown, unknown>): { readonly [name: string]: unknown } => {
  const annotations = fiber.getRef(References.CurrentLogAnnotations)
  const identity = requestIdName in annotations ? undefined : fiber.getRef(RequestIdentity.Current)
  return identity === undefined ? annotations : { ...annotations, [requestIdName]: identity.id }
}

const isText = (value: unknown): value is string | number | boolean | bigint =>
  typeof value === "string" || typeof value === "number" || typeof value === "boolean" || typeof value === "bigint"

const isFields = (value: unknown): value is { readonly [name: string]: unknown } => {
  if (typeof value !== "object" || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** The attributes of an error that was logged or that ended a fiber: OpenTelemetry's names for exceptions. */
const exceptionOf = (error: unknown, stack: string | undefined): Record<string, unknown> => {
  const isError = error instanceof Error
  const code: unknown = isError && "code" in error ? error.code : undefined
  return {
    ...(isError ? { "exception.type": error.name, "exception.message": plainValue(error.message) } : {}),
    ...(isError ? {} : { "exception.message": plainValue(error) }),
    ...(typeof code === "string" ? { "error.type": code } : {}),
    ...(stack === undefined ? {} : { "exception.stacktrace": plainValue(stack) })
  }
}

const causeAttributes = (cause: Cause.Cause<unknown>): Record<string, unknown> => {
  for (const reason of cause.reasons) {
    if (Cause.isFailReason(reason)) return exceptionOf(reason.error, Cause.pretty(cause))
    if (Cause.isDieReason(reason)) return exceptionOf(reason.defect, Cause.pretty(cause))
  }
  return cause.reasons.length === 0 ? {} : { "exception.stacktrace": Cause.pretty(cause) }
}

/**
 * Text beside text becomes one body, a plain object beside text becomes attributes, an error becomes those of an exception.
 * A single value is the body, of any type.
 */
const bodyAndFields = (message: unknown): readonly [body: unknown, fields: Record<string, unknown>] => {
  const parts: ReadonlyArray<unknown> = Array.isArray(message) ? message : [message]
  const texts: Array<string> = []
  const others: Array<unknown> = []
  const fields: Record<string, unknown> = {}
  for (const part of parts) {
    if (isText(part)) texts.push(String(part))
    else if (part instanceof Error) {
      Object.assign(fields, exceptionOf(part, undefined))
      if (parts.length === 1) texts.push(part.message)
    } else if (isFields(part) && parts.length > 1) {
      for (const [name, value] of Object.entries(part)) fields[name] = plainUnder(name, value)
    } else others.push(plainValue(part))
  }
  const text = plainValue(texts.join(" "))
  if (others.length === 0) return [text, fields]
  return [
    texts.length === 0 && others.length === 1 ? others[0] : [...(texts.length === 0 ? [] : [text]), ...others],
    fields
  ]
}

export const logRecord = ({ cause, date, fiber, logLevel, message }: Logger.Options<unknown>): LogRecord => {
  const [body, fields] = bodyAndFields(message)
  const attributes: Array<readonly [string, unknown]> = []
  let event: string | undefined
  for (const [name, value] of Object.entries(annotationsOf(fiber))) {
    if (name === eventName && typeof value === "string") event = value
    else attributes.push([name, plainUnder(name, value)])
  }
  for (const [label, startedMillis] of fiber.getRef(References.CurrentLogSpans)) {
    attributes.push([`log.span.${label}`, (date.getTime() - startedMillis) / 1000])
  }
  attributes.push(...Object.entries(causeAttributes(cause)), ...Object.entries(fields))
  const span = fiber.cache.span
  return {
    timestamp: date.toISOString(),
    severity_text: logLevel.toUpperCase(),
    severity_number: severityNumbers[logLevel],
    body,
    ...(event === undefined ? {} : { event_name: event }),
    ...(span === undefined
      ? {}
      : {
          trace_id: span.traceId.padStart(32, "0"),
          span_id: span.spanId,
          trace_flags: span.sampled ? "01" : "00"
        }),
    attributes: Object.fromEntries(attributes.filter(([, value]) => value !== undefined))
  }
}
