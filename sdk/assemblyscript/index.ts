// Pando for guests in AssemblyScript: processes, messages, names, and the store. See README.md.
//
//     import * as pando from "./pando";

export * from "./message";
export * from "./process";
export * from "./registry";
export * from "./wasi";

import * as kv from "./kv";
export { kv };
