interface Properties<T> {
  legend: string;
  values: readonly T[];
  /** Texts of the values; without them the values themselves. */
  names?: readonly string[];
  chosen: readonly T[];
  onChange: (chosen: T[]) => void;
}

/** A choice of several values as checkboxes. */
export function Choices<T>({legend, values, names, chosen, onChange}: Properties<T>) {
  return (
    <fieldset class="choices">
      <legend>{legend}</legend>
      {values.map((value, at) => (
        <label key={String(value)}>
          <input type="checkbox" checked={chosen.includes(value)} onChange={() =>
            onChange(chosen.includes(value) ? chosen.filter((one) => one !== value) : [...chosen, value])} /> {names?.[at] ?? String(value)}
        </label>
      ))}
    </fieldset>
  );
}
