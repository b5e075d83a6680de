import { drillFaults } from "./drill/faultDrill.ts"

drillFaults({ calls: 1, many: "a call that is left" })
