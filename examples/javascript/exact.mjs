// How avsc is to read our types, so that nothing is rounded: options for the AvroDeserializer.

import avro from "avsc";

// 6183763000000 units of 1e-8 -> "61837.63000000": a JavaScript number would round what a decimal(30,8) may hold.
class Decimal extends avro.types.LogicalType {
  constructor(schema, options) {
    super(schema, options);
    this.scale = schema.scale;
  }

  _fromValue(bytes) {
    const unscaled = BigInt.asIntN(bytes.length * 8, BigInt(`0x${bytes.toString("hex")}`));
    const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(this.scale + 1, "0");
    return `${unscaled < 0n ? "-" : ""}${digits.slice(0, -this.scale)}.${digits.slice(-this.scale)}`;
  }
}

// 1700000000123456 -> "2023-11-14T22:13:20.123456Z": a Date would lose the microseconds.
class Time extends avro.types.LogicalType {
  _fromValue(micros) {
    const within = ((micros % 1_000) + 1_000) % 1_000;
    const text = new Date((micros - within) / 1_000).toISOString();
    return text.replace("Z", `${String(within).padStart(3, "0")}Z`);
  }
}

// A BigInt: sequence numbers of exchanges may be larger than 2^53.
const long = avro.types.LongType.__with({
  fromBuffer: (buffer) => buffer.readBigInt64LE(),
  toBuffer: (value) => {
    const buffer = Buffer.alloc(8);
    buffer.writeBigInt64LE(value);
    return buffer;
  },
  fromJSON: BigInt,
  toJSON: String,
  isValid: (value) => typeof value === "bigint",
  compare: (one, other) => (one === other ? 0 : one < other ? -1 : 1),
});

export const exact = {
  logicalTypes: { decimal: Decimal, "timestamp-micros": Time },
  typeHook: (schema) => (schema === "long" ? long : undefined),
};
