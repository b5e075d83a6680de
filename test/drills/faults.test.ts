import { drillFaults } from "../drill/faultDrill.ts"

drillFaults({ calls: 64, many: "64 calls at once that are left" })
