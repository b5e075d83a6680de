/**
 * From an OTLP export of traces, as JSON or protobuf, to plain records. Both are brought to the JSON form of
 * `opentelemetry/proto/collector/trace/v1/trace_service.proto` first, so that they cannot come to differ.
 */

import * as Schema from "effect/Schema"

export type AttributeValue =
  | string
  | number
  | boolean
  /** An integer beyond the range of a number. */
  | bigint
  | Uint8Array
  | null
  | ReadonlyArray<AttributeValue>
  | { readonly [key: string]: AttributeValue }

export type Attributes = Readonly<Record<string, AttributeValue>>

export type SpanKind = "unspecified" | "internal" | "server" | "client" | "producer" | "consumer"

export interface SpanEvent {
  readonly name: string
  readonly timeUnixNano: bigint
  readonly attributes: Attributes
}

export interface SpanLink {
  readonly traceId: string
  readonly spanId: string
  readonly attributes: Attributes
}

export interface SpanRecord {
  /** Identifiers are lower-case hexadecimal. */
  readonly traceId: string
  readonly spanId: string
  /** Absent for a root. */
  readonly parentSpanId: string | undefined
  readonly traceState: string
  readonly name: string
  readonly kind: SpanKind
  readonly startTimeUnixNano: bigint
  readonly endTimeUnixNano: bigint
  readonly attributes: Attributes
  readonly events: ReadonlyArray<SpanEvent>
  readonly links: ReadonlyArray<SpanLink>
  readonly status: { readonly code: "unset" | "ok" | "error"; readonly message: string }
  readonly resource: Attributes
  /** The name of the instrumentation scope. */
  readonly scope: string
}

// ---------------------------------------------------------------------------------------------------------------------
// The JSON form
// ---------------------------------------------------------------------------------------------------------------------

interface AnyValue {
  readonly stringValue?: string
  readonly boolValue?: boolean
  readonly intValue?: string | number
  readonly doubleValue?: string | number
  readonly bytesValue?: string
  readonly arrayValue?: { readonly values?: ReadonlyArray<AnyValue> }
  readonly kvlistValue?: { readonly values?: ReadonlyArray<KeyValue> }
}

interface KeyValue {
  readonly key: string
  readonly value?: AnyValue
}

// 64-bit integers are decimal strings in protobuf's JSON form; some exporters write numbers.
const Integer = Schema.Union([Schema.String, Schema.Number])

const AnyValue: Schema.Codec<AnyValue> = Schema.Struct({
  stringValue: Schema.optionalKey(Schema.String),
  boolValue: Schema.optionalKey(Schema.Boolean),
  intValue: Schema.optionalKey(Integer),
  doubleValue: Schema.optionalKey(Integer),
  bytesValue: Schema.optionalKey(Schema.String),
  arrayValue: Schema.optionalKey(
    Schema.Struct({ values: Schema.optionalKey(Schema.Array(Schema.suspend(() => AnyValue))) })
  ),
  kvlistValue: Schema.optionalKey(
    Schema.Struct({ values: Schema.optionalKey(Schema.Array(Schema.suspend(() => KeyValue))) })
  )
})

const KeyValue: Schema.Codec<KeyValue> = Schema.Struct({
  key: Schema.String,
  value: Schema.optionalKey(AnyValue)
})

const attributesField = { attributes: Schema.optionalKey(Schema.Array(KeyValue)) }

const Span = Schema.Struct({
  traceId: Schema.String,
  spanId: Schema.String,
  traceState: Schema.optionalKey(Schema.NullOr(Schema.String)),
  parentSpanId: Schema.optionalKey(Schema.NullOr(Schema.String)),
  name: Schema.String,
  kind: Schema.optionalKey(Schema.Int),
  startTimeUnixNano: Integer,
  endTimeUnixNano: Integer,
  ...attributesField,
  events: Schema.optionalKey(
    Schema.Array(Schema.Struct({ timeUnixNano: Integer, name: Schema.String, ...attributesField }))
  ),
  links: Schema.optionalKey(
    Schema.Array(Schema.Struct({ traceId: Schema.String, spanId: Schema.String, ...attributesField }))
  ),
  status: Schema.optionalKey(
    Schema.Struct({
      code: Schema.optionalKey(Schema.Int),
      message: Schema.optionalKey(Schema.NullOr(Schema.String))
    })
  )
})

const ExportRequest = Schema.Struct({
  resourceSpans: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({
        resource: Schema.optionalKey(Schema.Struct(attributesField)),
        scopeSpans: Schema.optionalKey(
          Schema.Array(
            Schema.Struct({
              scope: Schema.optionalKey(Schema.Struct({ name: Schema.optionalKey(Schema.String) })),
              spans: Schema.optionalKey(Schema.Array(Span))
            })
          )
        )
      })
    )
  )
})

type ExportRequest = typeof ExportRequest.Type
type Span = typeof Span.Type

const decodeExportRequest = Schema.decodeUnknownSync(Schema.fromJsonString(ExportRequest))

// ---------------------------------------------------------------------------------------------------------------------
// The protobuf form (https://protobuf.dev/programming-guides/encoding/)
// ---------------------------------------------------------------------------------------------------------------------

interface Field {
  readonly number: number
  readonly value: bigint | Buffer
}

const readVarint = (bytes: Buffer, start: number): { readonly value: bigint; readonly next: number } => {
  let value = 0n
  for (let at = start, shift = 0n; shift < 70n; at++, shift += 7n) {
    const byte = bytes.readUInt8(at)
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) return { value, next: at + 1 }
  }
  throw new Error("protobuf: a varint longer than ten bytes")
}

const takeBytes = (bytes: Buffer, start: number, length: number): Buffer => {
  if (start + length > bytes.length) throw new Error("protobuf: a field longer than its message")
  return bytes.subarray(start, start + length)
}

/** Fixed-width values come as their bytes, varints as a bigint. */
const readFields = (bytes: Buffer): ReadonlyArray<Field> => {
  const fields: Array<Field> = []
  for (let at = 0; at < bytes.length;) {
    const tag = readVarint(bytes, at)
    const number = Number(tag.value >> 3n)
    const wireType = Number(tag.value & 7n)
    at = tag.next
    switch (wireType) {
      case 0: {
        const { next, value } = readVarint(bytes, at)
        fields.push({ number, value })
        at = next
        break
      }
      case 1:
      case 5: {
        const length = wireType === 1 ? 8 : 4
        fields.push({ number, value: takeBytes(bytes, at, length) })
        at += length
        break
      }
      case 2: {
        const { next, value: length } = readVarint(bytes, at)
        fields.push({ number, value: takeBytes(bytes, next, Number(length)) })
        at = next + Number(length)
        break
      }
      default:
        throw new Error(`protobuf: wire type ${wireType} in field ${number}`)
    }
  }
  return fields
}

/** A message by field number; of a field that should not repeat, the last one counts. */
const readMessage = (bytes: Buffer) => {
  const fields = readFields(bytes)
  const find = (number: number) => fields.findLast((field) => field.number === number)?.value
  const blob = (number: number): Buffer | undefined => {
    const value = find(number)
    return Buffer.isBuffer(value) ? value : undefined
  }
  const text = (number: number): string => blob(number)?.toString("utf8") ?? ""
  const hexadecimal = (number: number): string => blob(number)?.toString("hex") ?? ""
  const varint = (number: number): bigint | undefined => {
    const value = find(number)
    return Buffer.isBuffer(value) ? undefined : value
  }
  const small = (number: number): number => Number(varint(number) ?? 0n)
  const fixed64 = (number: number): string => String(blob(number)?.readBigUInt64LE() ?? 0n)
  const each = <A>(number: number, read: (bytes: Buffer) => A): ReadonlyArray<A> =>
    fields.flatMap((field) => (field.number === number && Buffer.isBuffer(field.value) ? [read(field.value)] : []))
  return { blob, text, hexadecimal, varint, small, fixed64, each }
}

const readAnyValue = (bytes: Buffer): AnyValue => {
  const { blob, each, text, varint } = readMessage(bytes)
  const boolean = varint(2)
  const integer = varint(3)
  const double = blob(4)
  const array = blob(5)
  const record = blob(6)
  const raw = blob(7)
  if (blob(1) !== undefined) return { stringValue: text(1) }
  if (boolean !== undefined) return { boolValue: boolean !== 0n }
  // A negative int64 travels as its two's complement.
  if (integer !== undefined) return { intValue: String(BigInt.asIntN(64, integer)) }
  if (double !== undefined) return { doubleValue: double.readDoubleLE() }
  if (array !== undefined) return { arrayValue: { values: each(5, readMessage)[0]?.each(1, readAnyValue) ?? [] } }
  if (record !== undefined) return { kvlistValue: { values: each(6, readMessage)[0]?.each(1, readKeyValue) ?? [] } }
  if (raw !== undefined) return { bytesValue: raw.toString("base64") }
  return {}
}

const readKeyValue = (bytes: Buffer): KeyValue => {
  const { each, text } = readMessage(bytes)
  const value = each(2, readAnyValue)[0]
  return { key: text(1), ...(value === undefined ? {} : { value }) }
}

const readSpan = (bytes: Buffer): Span => {
  const span = readMessage(bytes)
  const status = span.each(15, readMessage)[0]
  return {
    traceId: span.hexadecimal(1),
    spanId: span.hexadecimal(2),
    traceState: span.text(3),
    parentSpanId: span.hexadecimal(4),
    name: span.text(5),
    kind: span.small(6),
    startTimeUnixNano: span.fixed64(7),
    endTimeUnixNano: span.fixed64(8),
    attributes: span.each(9, readKeyValue),
    events: span.each(11, readMessage).map((event) => ({
      timeUnixNano: event.fixed64(1),
      name: event.text(2),
      attributes: event.each(3, readKeyValue)
    })),
    links: span.each(13, readMessage).map((link) => ({
      traceId: link.hexadecimal(1),
      spanId: link.hexadecimal(2),
      attributes: link.each(4, readKeyValue)
    })),
    ...(status === undefined ? {} : { status: { message: status.text(2), code: status.small(3) } })
  }
}

const readExportRequest = (bytes: Buffer): ExportRequest => ({
  resourceSpans: readMessage(bytes)
    .each(1, readMessage)
    .map((resourceSpans) => ({
      resource: { attributes: resourceSpans.each(1, readMessage)[0]?.each(1, readKeyValue) ?? [] },
      scopeSpans: resourceSpans.each(2, readMessage).map((scopeSpans) => ({
        scope: { name: scopeSpans.each(1, readMessage)[0]?.text(1) ?? "" },
        spans: scopeSpans.each(2, readSpan)
      }))
    }))
})

// ---------------------------------------------------------------------------------------------------------------------
// Records
// ---------------------------------------------------------------------------------------------------------------------

const toInteger = (value: string | number): number | bigint => {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : BigInt(value)
}

const toValue = (value: AnyValue): AttributeValue => {
  if (value.stringValue !== undefined) return value.stringValue
  if (value.boolValue !== undefined) return value.boolValue
  if (value.intValue !== undefined) return toInteger(value.intValue)
  if (value.doubleValue !== undefined) return Number(value.doubleValue)
  if (value.bytesValue !== undefined) return Buffer.from(value.bytesValue, "base64")
  if (value.arrayValue !== undefined) return (value.arrayValue.values ?? []).map(toValue)
  if (value.kvlistValue !== undefined) return toAttributes(value.kvlistValue.values)
  return null
}

const toAttributes = (entries: ReadonlyArray<KeyValue> = []): Attributes =>
  Object.fromEntries(entries.map(({ key, value }) => [key, toValue(value ?? {})]))

const kinds: ReadonlyArray<SpanKind> = ["unspecified", "internal", "server", "client", "producer", "consumer"]
const statusCodes = ["unset", "ok", "error"] as const

const toRecord = (span: Span, resource: Attributes, scope: string): SpanRecord => ({
  traceId: span.traceId.toLowerCase(),
  spanId: span.spanId.toLowerCase(),
  parentSpanId: span.parentSpanId ? span.parentSpanId.toLowerCase() : undefined,
  traceState: span.traceState ?? "",
  name: span.name,
  kind: kinds[span.kind ?? 0] ?? "unspecified",
  startTimeUnixNano: BigInt(span.startTimeUnixNano),
  endTimeUnixNano: BigInt(span.endTimeUnixNano),
  attributes: toAttributes(span.attributes),
  events: (span.events ?? []).map((event) => ({
    name: event.name,
    timeUnixNano: BigInt(event.timeUnixNano),
    attributes: toAttributes(event.attributes)
  })),
  links: (span.links ?? []).map((link) => ({
    traceId: link.traceId.toLowerCase(),
    spanId: link.spanId.toLowerCase(),
    attributes: toAttributes(link.attributes)
  })),
  status: { code: statusCodes[span.status?.code ?? 0] ?? "unset", message: span.status?.message ?? "" },
  resource,
  scope
})

const toRecords = (request: ExportRequest): ReadonlyArray<SpanRecord> =>
  (request.resourceSpans ?? []).flatMap((resourceSpans) => {
    const resource = toAttributes(resourceSpans.resource?.attributes)
    return (resourceSpans.scopeSpans ?? []).flatMap((scopeSpans) =>
      (scopeSpans.spans ?? []).map((span) => toRecord(span, resource, scopeSpans.scope?.name ?? ""))
    )
  })

/** The spans of an export in OTLP's JSON; throws when it is none. */
export const decodeJson = (body: Buffer): ReadonlyArray<SpanRecord> =>
  toRecords(decodeExportRequest(body.toString("utf8")))

/** The spans of an export in protobuf; throws when it is none. */
export const decodeProtobuf = (body: Buffer): ReadonlyArray<SpanRecord> => toRecords(readExportRequest(body))
