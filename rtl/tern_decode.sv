// The unit that an instruction runs in, and what it reads and writes. HALT and LOOP have no unit.
// Combinational.
module tern_decode (
  input  tern_pkg::instruction_t i,
  output logic [tern_pkg::kUnits-1:0] units,  // one bit, or none
  output logic [tern_pkg::kResources-1:0] reads,
  output logic [tern_pkg::kResources-1:0] writes
);
  localparam int R = tern_pkg::kResources;
  function automatic logic [R-1:0] vector(input logic [3:0] v);
    vector = R'(1) << v;
  endfunction
  function automatic logic [R-1:0] norm(input logic [1:0] p);
    norm = R'(1) << (tern_pkg::kNormAt + 32'(p));
  endfunction
  function automatic logic [R-1:0] scalar(input logic [3:0] s);
    scalar = R'(1) << (tern_pkg::kScalarAt + 32'(s));
  endfunction
  localparam logic [R-1:0] STATISTIC = R'(1) << tern_pkg::kStatisticAt;
  localparam logic [R-1:0] TILES = R'(1) << tern_pkg::kTilesAt;

  // LDS writes so many scalars from sd on, s0 behind s15
  logic [31:0] loaded;
  assign loaded = {16'd0, ~(16'hffff << i.va)} << i.sd;

  logic with_norm, with_statistic;
  assign with_norm = i.flags[2];
  assign with_statistic = i.flags[3];
  always_comb begin
    units = '0;
    reads = '0;
    writes = '0;
    unique case (i.op)
      tern_pkg::kOpLdv, tern_pkg::kOpStv, tern_pkg::kOpLdp, tern_pkg::kOpLds: units[tern_pkg::kMemoryUnit] = 1'b1;
      tern_pkg::kOpMul, tern_pkg::kOpMac, tern_pkg::kOpSig, tern_pkg::kOpSilu, tern_pkg::kOpScan, tern_pkg::kOpStat:
        units[tern_pkg::kRowUnit] = 1'b1;
      tern_pkg::kOpQnt: units[tern_pkg::kQuantizerUnit] = 1'b1;
      tern_pkg::kOpSop: units[tern_pkg::kScalarUnit] = 1'b1;
      tern_pkg::kOpTmm: units[tern_pkg::kProductUnit] = 1'b1;
      tern_pkg::kOpAmax: units[tern_pkg::kArgmaxUnit] = 1'b1;
      default: ;
    endcase
    unique case (i.op)
      tern_pkg::kOpLdv: writes = vector(i.vd);
      tern_pkg::kOpStv: begin
        reads = vector(i.va);
        writes = TILES;
      end
      tern_pkg::kOpAmax: reads = vector(i.va);
      tern_pkg::kOpLdp: writes = norm(i.pa);
      tern_pkg::kOpLds: writes[tern_pkg::kScalarAt+:tern_pkg::kScalars] = loaded[15:0] | loaded[31:16];
      tern_pkg::kOpMul: begin
        reads = vector(i.va) | (with_norm ? norm(i.pa) : vector(i.vb)) | (with_statistic ? norm(i.pb) : '0);
        writes = vector(i.vd) | (with_statistic ? STATISTIC : '0) | (i.imm[16] ? scalar(i.sd) : '0);
      end
      tern_pkg::kOpMac: begin
        reads = vector(i.va) | vector(i.vb) | scalar(i.sa) | (with_statistic ? norm(i.pb) : '0);
        writes = vector(i.vd) | (with_statistic ? STATISTIC : '0);
      end
      tern_pkg::kOpSig: begin
        reads = vector(i.va) | scalar(i.sa) | (with_norm ? norm(i.pa) : '0);
        writes = vector(i.vd);
      end
      tern_pkg::kOpSilu: begin
        reads = vector(i.va) | (with_norm ? '0 : scalar(i.sa));  // the flag says: of a state
        writes = vector(i.vd);
      end
      tern_pkg::kOpScan: begin
        reads = vector(i.vd) | vector(i.va) | vector(i.vb);
        writes = vector(i.vd);
      end
      tern_pkg::kOpStat: begin
        reads = vector(i.va) | norm(i.pb);
        writes = STATISTIC;
      end
      tern_pkg::kOpQnt: begin
        reads = vector(i.va) | norm(i.pa) | (with_norm ? norm(i.pb) : '0) | scalar(i.sa) | STATISTIC;
        writes = (i.flags[3] ? scalar(i.sd) : '0) | (with_norm ? scalar(i.vb) : '0);
        writes[tern_pkg::kCodeAt+:2] = 2'd1 << i.vd[0];
      end
      tern_pkg::kOpSop: begin
        reads = i.imm[2] ? STATISTIC : scalar(i.sa) | (i.imm[1:0] != 2'd3 ? scalar(i.vb) : '0);
        writes = scalar(i.sd);
      end
      tern_pkg::kOpTmm: begin
        reads = TILES;
        reads[tern_pkg::kCodeAt+:2] = 2'd1 << i.va[0];
        writes = vector(i.vd);
      end
      default: ;
    endcase
  end
  wire unused_bits = ^{i.imm[31:17], i.imm[15:3], i.flags[1:0]};
endmodule
